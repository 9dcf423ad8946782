"""Light, colour and masks: the photometric correction of generated faces."""
