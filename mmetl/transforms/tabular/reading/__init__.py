"""How files and tables of others are read: by form, with their errors, and with rows that cannot be read set aside."""
