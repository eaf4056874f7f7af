"""A job handed over by four, each as its documentation has it."""
