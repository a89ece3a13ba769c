"""Configurations, one YAML file an experiment."""
