"""What the Help tab says, as tables of whole sentences, so that they can be translated and checked."""
