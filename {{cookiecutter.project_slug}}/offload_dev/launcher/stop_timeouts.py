"""How long a stop may take, from the inside out: each program waits longer than those it stops."""

# A web process or worker gets so long before the reloader kills it. An idle worker takes 2.5 s; on
# a busy machine more than 4 s were seen.
PROCESS_STOP_TIMEOUT_SECONDS = 8.0
# The embedded Valkey waits so long for the workers, its clients.
BROKER_STOP_TIMEOUT_SECONDS = 9.0
# The launcher kills what has not ended by then.
LAUNCHER_STOP_TIMEOUT_SECONDS = 10.0
# After that it waits so long for what it has killed, and then goes on without it.
KILLED_TIMEOUT_SECONDS = 3.0
