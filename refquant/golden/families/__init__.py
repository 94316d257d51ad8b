"""What related operations share: attributes, stimuli and mutants of products, requantization, reals, random bits."""
