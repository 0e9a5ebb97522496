"""Calibration: isotonic curves that bring a scorer's scores to the scale of stored reference scores."""
