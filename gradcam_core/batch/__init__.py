"""Hundreds of pictures and more: each gets a row in a journal, in as many processes and machines as there are."""
