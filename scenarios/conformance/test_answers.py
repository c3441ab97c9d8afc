"""What a project answers to requests made by hand, with the numbers and words of BOINC's own server (html/user/*.php, sched/*.cpp).

Each answer is put on record, too, so that `harness conformance` compares the servers' answers one by one.
"""

import hashlib
import re

import httpx
import pytest

from harness.conformance.shape import ANSWER
from harness.stack import Stack

EMAIL = "ann@example.test"
HASH = hashlib.md5(b"somerville 1831" + EMAIL.encode(), usedforsecurity=False).hexdigest()
OTHER = "0" * 32

WEB_RPCS = [
    ("create_account", {"email_addr": EMAIL, "passwd_hash": HASH, "user_name": "Ann"}, "an account"),
    ("create_account", {"email_addr": EMAIL, "passwd_hash": HASH, "user_name": "Ann"}, "an account"),
    ("create_account", {"email_addr": EMAIL, "passwd_hash": OTHER, "user_name": "Ann"}, "-137"),
    ("create_account", {"email_addr": EMAIL.upper(), "passwd_hash": OTHER, "user_name": "Ann"}, "-137"),
    ("create_account", {"email_addr": "ann", "passwd_hash": HASH, "user_name": "Ann"}, "-205"),
    ("create_account", {"email_addr": "b@example.test", "passwd_hash": "short", "user_name": "Bea"}, "-1"),
    ("create_account", {"email_addr": "b@example.test", "passwd_hash": HASH, "user_name": "<b>"}, "-188"),
    ("create_account", {"email_addr": "b@example.test", "passwd_hash": HASH, "user_name": ""}, "-188"),
    ("lookup_account", {"email_addr": EMAIL, "passwd_hash": HASH}, "an account"),
    ("lookup_account", {"email_addr": EMAIL}, "success"),
    ("lookup_account", {"email_addr": EMAIL, "passwd_hash": OTHER}, "-206"),
    ("lookup_account", {"email_addr": "nobody@example.test", "passwd_hash": HASH}, "-136"),
    ("lookup_account", {"email_addr": "nobody@example.test"}, "-136"),
    ("am_get_info", {"account_key": "no such key"}, "-136"),
]


def _answer(text: str) -> str:
    number = re.search(r"<error_num>\s*(-?\d+)", text)
    if number is not None:
        return number[1]
    return "an account" if re.search(r"<authenticator>\s*[0-9a-f]{32}", text) else "success" if "<success/>" in text else text[:80]


def test_web_rpcs_answer_with_boincs_error_numbers(stack: Stack) -> None:
    answers = []
    for rpc, arguments, _ in WEB_RPCS:
        answer = _answer(httpx.get(f"{stack.page(stack.project)}{rpc}.php", params=arguments, trust_env=False, timeout=30).text)
        answers.append((rpc, arguments, answer))
        stack.history.add(ANSWER, "scenario", question=f"{rpc} {arguments}", answer=answer)

    assert answers == WEB_RPCS


REQUEST = """<scheduler_request>
<authenticator>{key}</authenticator>
<hostid>0</hostid>
<rpc_seqno>1</rpc_seqno>
<core_client_major_version>{version}</core_client_major_version>
<core_client_minor_version>0</core_client_minor_version>
<core_client_release>0</core_client_release>
<platform_name>{platform}</platform_name>
<work_req_seconds>{seconds}</work_req_seconds>
<cpu_req_secs>{seconds}</cpu_req_secs>
<cpu_req_instances>0</cpu_req_instances>
<host_info>
<timezone>0</timezone><domain_name>{name}</domain_name><ip_addr>127.0.0.1</ip_addr><host_cpid>{cpid}</host_cpid>
<p_ncpus>1</p_ncpus><p_vendor>GenuineIntel</p_vendor><p_model>Model</p_model><p_fpops>1e9</p_fpops><p_iops>1e9</p_iops>
<p_membw>1e9</p_membw><p_calculated>0</p_calculated><m_nbytes>4e9</m_nbytes><m_cache>1e6</m_cache><m_swap>1e9</m_swap>
<d_total>1e11</d_total><d_free>1e11</d_free><os_name>Linux</os_name><os_version>6</os_version>
</host_info>
</scheduler_request>
"""
LINUX = "x86_64-pc-linux-gnu"
#: what is asked -> what differs in the request, the message and the delay (virtual seconds; 2: next_rpc_delay alone) of the answer
QUESTIONS: list[tuple[str, dict[str, object], str, str]] = [
    ("no work wanted", {"seconds": 0}, "", ""),
    ("work wanted, none there", {}, "Project has no tasks available", ""),
    ("a key that nobody has", {"key": "f" * 32}, "Invalid or missing account key", "3600"),
    ("a platform that is not supported", {"platform": "vax-vms"}, '_("This project doesn\'t support computers of type") vax-vms', "86400"),
    ("a client that is too old", {"version": 4}, "too old", "86400"),
    ("no request at all", {"text": "<scheduler_request>\n<a/>"}, "Error in request message", ""),
]


@pytest.mark.project(min_core_client_version=50000)
def test_the_scheduler_answers_in_boincs_words(stack: Stack) -> None:
    url = stack.page(stack.project).removesuffix("/") + "_cgi/cgi"
    key = stack.project.account().authenticator
    stack.project.install_app("uppercase")
    for question, changes, message, delay in QUESTIONS:
        values = {"key": key, "version": 8, "platform": LINUX, "seconds": 1000, "name": "h", "cpid": "1" * 32, **changes}
        text = str(values.get("text") or REQUEST.format(**values))
        reply = httpx.post(url, content=text, trust_env=False, timeout=30).text
        messages = [" ".join(one.split()) for one in re.findall(r"<message[^>]*>(.*?)</message>", reply, re.DOTALL)]
        delays = [f"{float(one):.0f}" for one in re.findall(r"<request_delay>(.*?)</request_delay>", reply)]
        stack.history.add(ANSWER, "scenario", question=question, answer=f"{messages}, request_delay {delays}")

        assert any(message in one for one in messages) if message else not messages, f"{question}: {messages}"
        assert delays == [delay] if delay else not delays or float(delays[0]) <= 10, f"{question}: {delays}"
