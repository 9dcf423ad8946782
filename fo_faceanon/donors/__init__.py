"""The bank of faces of nobody: its description, storage, selection and warping."""
