// The page's script. No other module imports it: a file that is loaded by two names runs twice, and
// `{% static %}` may give this one a name of its own.

import { startPage } from "./live_page.js";

startPage();
