"""From SMILES to tensors and back: encoding, valency correction, decoding."""
