"""The methods, one file each; all make a face from a :class:`~fo_faceanon.faces.CropBatch`."""
