"""The demonstration models: how they are trained, and what they are measured to do. Not needed to run the app."""
