"""Where cases are made: worker processes of this machine, and what any other executor has to do."""
