"""Reading files of facts: tables, sections, figures, and every problem found in them."""
