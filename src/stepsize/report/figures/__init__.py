"""The report's figures: each draws itself into axes of any size, for the page and as a PNG."""
