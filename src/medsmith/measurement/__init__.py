"""What lesions in images are like, in numbers and in the words of a structured report."""
