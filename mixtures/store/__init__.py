"""What mixtures share: stages behind a mixture, and where the store keeps their artifacts. Building, planning,
contamination and overlap import it.
"""
