"""Two tasklets hand each other values through channels."""

import tasklets

# send() waits for a receiver and receive() for a sender; when both are there, the value
# is handed over.
question = tasklets.channel()
answer = tasklets.channel()


def asks():
    """Ask three questions."""
    for number in (3, 4, 5):
        question.send(number)
        print("the square of", number, "is", answer.receive())


def knows():
    """Answer each question."""
    while True:
        number = question.receive()
        answer.send(number * number)


# spawn() makes a tasklet from a function and its arguments, and puts it into the run
# queue. Nothing runs yet.
tasklets.spawn(asks)
tasklets.spawn(knows)
print("both are runnable")

# run() runs all tasklets until none of them can go on. knows() does not end: it waits
# for a fourth question, and would go on if the main program sent one.
tasklets.run()
print("nothing more to do; waiting for a question:", -question.balance)

# Output:
#   both are runnable
#   the square of 3 is 9
#   the square of 4 is 16
#   the square of 5 is 25
#   nothing more to do; waiting for a question: 1
