"""Data preparation and training of the networks that this package ships."""
