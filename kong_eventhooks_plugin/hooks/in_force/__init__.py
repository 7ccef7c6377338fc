"""Which of the declared hooks are in force, and what follows from it: compiling their code, storing them."""
