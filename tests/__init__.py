"""The tests, which mirror the packages; what several of them need is in `tests.helpers`, and imported by that name."""
