// The page's script where the service has WebSockets. No other module imports it: a file that is
// loaded by two names runs twice, and `{% static %}` may give this one a name of its own.

import { JobSocket } from "./job_socket.js";
import { startPage } from "./live_page.js";

startPage(new JobSocket());
