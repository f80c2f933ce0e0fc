"""What an evaluation found: its file, the curves and event pictures, the page that shows them."""
