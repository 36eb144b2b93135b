"""lut-server: serve the lookup tables, and look after them."""

from pathlib import Path
from typing import Annotated

import typer

from latency_tables.plain_text import plain
from lut_server.commands import data, device, token
from lut_server.commands.common import DatabaseUrl, DataDir, migrated, settings_from
from lut_server.migrations import write_new

cli = typer.Typer(
    help="The lookup-table server: latencies of operations on devices.", no_args_is_help=True, add_completion=False
)
cli.add_typer(token.cli, name="token")
cli.add_typer(device.cli, name="device")
for command in (data.backup, data.restore, data.export, data.publish):
    cli.command()(command)
cli.command(name="import")(data.import_)


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Beyond loopback it takes access tokens. [env: LUT_HOST]")] = None,
    port: Annotated[str | None, typer.Option(help="0 takes a free one. [env: LUT_PORT]")] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    log_format: Annotated[str | None, typer.Option(help="text or json. [env: LUT_LOG_FORMAT]")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Write the URL here once the server listens.")] = None,
) -> None:
    """Bring the database up to date and serve it."""
    settings = settings_from(
        LUT_HOST=host,
        LUT_PORT=port,
        LUT_DATA_DIR=data_dir,
        LUT_DATABASE_URL=database_url,
        LUT_LOG_FORMAT=log_format,
    )
    from lut_server.commands import serving  # the application takes a second to import

    serving.serve(settings, ready_file)


@cli.command()
def migrate(
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    new: Annotated[str | None, typer.Option(help="For developers: write the next migration, under this name.")] = None,
) -> None:
    """Bring the database up to date; `serve` does this by itself."""
    if new is not None:
        print(write_new(new))
        return
    settings = settings_from(LUT_DATA_DIR=data_dir, LUT_DATABASE_URL=database_url)
    migrated(settings).close()
    print(f"up to date: {plain(settings.database_url.render_as_string(hide_password=True))}")


def main() -> None:
    cli()


if __name__ == "__main__":
    main()
