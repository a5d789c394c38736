"""Stages: the trainings and jobs that a method needs before its own training, planned, run and resumed in order."""
