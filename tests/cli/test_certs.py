"""``rapid certs``: what it makes is what TLS takes."""

from __future__ import annotations

import ssl
import stat
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from rapid import TLS
from rapid.cli import main
from rapid.runtime.tls import load, name_of
from tests.runtime.authority import Authority, verify_strictly


def tls(directory: Path, host: str) -> TLS:
    return TLS(
        ca=directory / "ca.pem",
        certificate=directory / f"member-{host}.pem",
        key=directory / f"member-{host}.key",
        verify_address=True,
    )


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_what_it_makes_is_what_tls_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "new" / "pki"
    hosts = ["10.0.0.7", "node1.example", "::1", "node1.example"]
    arguments = [argument for host in hosts for argument in ("--host", host)]
    assert main(["certs", str(directory), *arguments, "--days", "3"]) == 0
    assert load(tls(directory, "10.0.0.7")).names == frozenset(map(name_of, hosts))
    lasts = certificate(directory / "member-10.0.0.7.pem")
    assert (lasts.not_valid_after_utc - lasts.not_valid_before_utc).days == 3
    said = capsys.readouterr().out
    for name in ("ca.pem", "member-10.0.0.7.pem", "member-10.0.0.7.key"):
        assert str(directory / name) in said
    assert f"{lasts.not_valid_after_utc:%Y-%m-%d}" in said


@pytest.mark.parametrize("host", ["node1.example", "10.0.0.7", "::1", "1" * 63 + ".example"])
def test_a_strict_verifier_takes_what_it_makes(host: str, tmp_path: Path) -> None:
    assert main(["certs", str(tmp_path), "--host", host]) == 0
    made = tls(tmp_path, host.replace(":", "_"))
    verify_strictly(made, host)
    # another implementation, and the rules of public authorities
    policy = PolicyBuilder().store(Store([certificate(tmp_path / "ca.pem")]))
    member = certificate(Path(made.certificate))
    name = name_of(host)
    subject = x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)
    policy.build_server_verifier(subject).verify(member, [])
    policy.build_client_verifier().verify(member, [])


def test_both_certificates_have_what_a_strict_verifier_asks_for(tmp_path: Path) -> None:
    assert main(["certs", str(tmp_path), "--host", "a"]) == 0
    wanted = (
        x509.BasicConstraints,
        x509.KeyUsage,
        x509.SubjectKeyIdentifier,
        x509.AuthorityKeyIdentifier,
    )
    authority = certificate(tmp_path / "ca.pem")
    for name in ("ca.pem", "member-a.pem"):
        extensions = certificate(tmp_path / name).extensions
        for kind in wanted:
            assert [one for one in extensions if isinstance(one.value, kind)], f"{kind.__name__} of {name}"
        issuer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        subject = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        assert issuer.key_identifier == subject.digest


def test_a_strict_verifier_takes_what_the_tests_use(tmp_path: Path) -> None:
    verify_strictly(Authority(tmp_path / "ours").tls(), "127.0.0.1")


def test_a_strict_verifier_refuses_a_certificate_of_another_authority(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    member = theirs.tls()
    (tmp_path / "theirs" / "ca.pem").write_bytes(ours.pem)
    with pytest.raises(ssl.SSLCertVerificationError):
        verify_strictly(member, "127.0.0.1")


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    assert main(["certs", str(tmp_path), "--host", "10.0.0.7"]) == 0
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {
        "ca.key": 0o600,
        "ca.pem": 0o644,
        "member-10.0.0.7.key": 0o600,
        "member-10.0.0.7.pem": 0o644,
    }


def test_later_runs_keep_the_authority_and_renew_the_member(tmp_path: Path) -> None:
    for host in ("10.0.0.7", "ca", "::1"):
        assert main(["certs", str(tmp_path), "--host", host]) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["certs", str(tmp_path), "--host", "10.0.0.7", "--host", "localhost"]) == 0
    changed = {path.name for path in tmp_path.iterdir() if path.read_bytes() != before[path.name]}
    assert changed == {"member-10.0.0.7.pem", "member-10.0.0.7.key"}
    assert "localhost" in load(tls(tmp_path, "10.0.0.7")).names
    assert load(tls(tmp_path, "ca")).names == {"ca"}
    assert load(tls(tmp_path, "__1")).names == {name_of("::1")}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--host", "10.0.0.7:7400"], "--host '10.0.0.7:7400' is no address and no DNS name"),
        (["--host", "[::1]"], "--host '[::1]' is no address"),
        (["--host", "../evil"], "--host '../evil' is no address"),
        (["--host", "knöten"], "xn-- form"),
        (["--host", ""], "--host '' is no address"),
        (["--host", "-x"], "--host '-x' is no address"),
        (["--host", "a", "--days", "0"], "--days 0: take 1 to 825"),
        (["--host", "a", "--days", "826"], "--days 826: take 1 to 825"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: list[str], error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # argparse takes what begins with a hyphen for an option
    glued = [f"{arguments[0]}={arguments[1]}", *arguments[2:]]
    assert main(["certs", str(tmp_path), *glued]) == 2
    assert error in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_authority_of_no_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for directory in (one, other):
        assert main(["certs", str(directory), "--host", "a"]) == 0
    again = ["certs", str(one), "--host", "a"]
    (one / "ca.key").write_bytes((other / "ca.key").read_bytes())
    assert main(again) == 1
    assert "is not the key of" in capsys.readouterr().err
    (one / "ca.key").unlink()
    assert main(again) == 1
    assert "are no authority that can be used" in capsys.readouterr().err
    # nothing of it was replaced
    assert certificate(one / "ca.pem") != certificate(other / "ca.pem")


def test_an_authority_that_ends_too_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rapid.cli.authority.CA_DAYS", 10)
    assert main(["certs", str(tmp_path), "--host", "a", "--days", "9"]) == 0
    assert main(["certs", str(tmp_path), "--host", "a", "--days", "11"]) == 1
    assert "itself ends on" in capsys.readouterr().err


def test_a_directory_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["certs", str(tmp_path / "file"), "--host", "a"]) == 1
    assert "File exists" in capsys.readouterr().err


def test_without_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.delitem(sys.modules, "rapid.cli.authority", raising=False)
    assert main(["certs", str(tmp_path), "--host", "a"]) == 1
    assert "pip install 'rapid-membership[tls]'" in capsys.readouterr().err
