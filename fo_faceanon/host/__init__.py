"""FiftyOne's side of the package: everything that imports ``fiftyone`` lives here."""
