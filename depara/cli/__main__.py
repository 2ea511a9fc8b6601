"""`python -m depara.cli` is the `depara` command."""

from depara.cli import app

if __name__ == "__main__":
    app(prog_name="depara")
