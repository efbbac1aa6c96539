"""The parts of a DICOM file: its data set, its pixels, its values, how grey they are shown, how large they are."""
