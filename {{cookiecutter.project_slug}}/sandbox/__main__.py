"""`python -m sandbox` serves the stand-ins at the port SANDBOX_PORT."""

import uvicorn

from config.env import load

if __name__ == "__main__":
    uvicorn.run("sandbox.app:app", port=load().sandbox_port, log_level="warning", lifespan="off")
