"""Games that ship with the core: which networks train together, and what each step minimises."""
