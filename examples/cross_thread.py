"""Tasklets of two OS threads exchange values through the same channels."""

import threading

import tasklets

requests = tasklets.channel()
answers = tasklets.channel()


def serve():
    """Run tasklets on another thread: each thread has its own scheduler."""

    def worker():
        for number in requests:
            answers.send((number, threading.current_thread().name))

    workers = [tasklets.spawn(worker) for _ in range(2)]
    for each in workers:
        each.join()  # while all wait, this thread sleeps until a request arrives
    print("the workers have ended")


thread = threading.Thread(target=serve, name="server")
thread.start()

# A partner on another thread is only woken: the side that arrived second goes on at
# once, whatever the channel's preference.
done = []
for number in range(4):
    requests.send(number)
    done.append(answers.receive())
for number, where in sorted(done):
    print("request", number, "was served on the thread", where)

# A tasklet runs on the thread that made it, but any thread may close its channel, kill
# it, or put it back into its queue with insert().
requests.close(wake=True)
thread.join()

# Output:
#   request 0 was served on the thread server
#   request 1 was served on the thread server
#   request 2 was served on the thread server
#   request 3 was served on the thread server
#   the workers have ended
