"""The torch side: heads, batches and the net that trains them."""
