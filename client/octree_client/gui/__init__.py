"""What one sees and touches, by Qt: the window, its widgets, its canvas and its event loop. Only `gui` imports Qt."""
