"""What people see: tables, plans and pages as records, and the terminal, HTML and Markdown that they become; progress.
Computes nothing; everything may import it.
"""
