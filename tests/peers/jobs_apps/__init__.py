"""The same job for four queues, each as its documentation has it."""
