"""Parts of fuzz_loading.py: files, changes of them, and what loading may answer."""
