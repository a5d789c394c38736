"""Games that ship with the core: which networks play, and what each step minimises."""
