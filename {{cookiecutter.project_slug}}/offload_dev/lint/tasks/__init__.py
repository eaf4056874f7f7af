"""What a project does with Celery and other queues of tasks, and what is wrong with it."""
