"""Utility metrics of anonymized faces: functions of batched tensors, one value per face."""
