"""Many users at a fixed rate for minutes, while everything that can be broken is broken, one thing after another.

Run it with `make soak`; what it takes is Linux, PostgreSQL's programs and PgBouncer, and root for the disk that is
filled. Everything runs on this machine, listens to it alone, and ends with the run, or with Ctrl-C.

    make soak SOAK_ARGS='--minutes 2 --every 10 --rate 50 --seed 7 --fault "database frozen" --output soak-again'

A request is sent when it is due, whether or not those before it were answered, and its latency counts from then: a
service that stands still is not spared the requests of that time. Each answer is held against an account of what its
user did before (`account.py`); a change whose outcome nobody can know leaves two states possible, and everything else
leaves one. At the end the database has to hold exactly that. The figures that must be 0:

    lost        acknowledged and not there, or undone
    doubled     there, or done, more often than acknowledged and unknown changes explain
    leaked      another user's, or an answer that tells another user's task from none
    unexpected  an answer that docs/api.md does not promise to that request, or none where the service was up

Memory and descriptors may grow by what `report.py` tolerates. The exit status is 1 where any of this does not hold.
`faults.py` has the faults, `clients.py` the users.
"""
