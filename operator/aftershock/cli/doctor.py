"""`aftershock doctor`: what this machine lacks."""

import click


@click.command(epilog="\b\nExample:\n  aftershock doctor")
def command() -> int:
    """Say what is here, what is missing for which part, and how to get it. Changes nothing."""
    from aftershock.stacks import doctor

    findings = doctor.examine()
    for finding in findings:
        click.echo(
            f"{finding.state:8} {finding.what}" + (f"\n         try: {finding.advice}" if finding.advice else "")
        )
    return 3 if any(finding.state == "missing" for finding in findings) else 0
