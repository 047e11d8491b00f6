"""A service that retries forever, and is stopped by a deadline, at once and cleanly."""

from tasklets import TaskGroup, shield, sleep, timeout


def request(number):
    """Answer, fail, or take too long, depending on the number."""
    if number % 3 == 1:
        raise ConnectionError(f"request {number} failed")
    if number % 3 == 2:
        sleep(10)
    return f"answer {number}"


def poll(log):
    """Send requests forever. Errors and slow answers do not end it."""
    number = 0
    try:
        while True:
            try:
                with timeout(0.02):
                    log.append(request(number))
            except ConnectionError as error:
                log.append(str(error))
            except TimeoutError:
                log.append(f"request {number} took too long")
            number += 1
            sleep(0.01)
    finally:
        # The goodbye may take a second, but not longer.
        with shield(1):
            sleep(0.01)
            log.append("said goodbye")


log = []
try:
    with timeout(0.5), TaskGroup() as group:
        group.spawn(poll, log)
except TimeoutError:
    # The retries have caught only their own timeouts.
    print("stopped by the deadline")
print(*log[:3], log[-1], sep="\n")

# Output:
#   stopped by the deadline
#   answer 0
#   request 1 failed
#   request 2 took too long
#   said goodbye
