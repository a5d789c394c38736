"""Sources of faces, and the draws that read them."""
