"""HTML reports and the figures that domains share."""
