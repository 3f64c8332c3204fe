"""Privacy attacks on a package, one a file, each with its control: what it reveals of its training patients.

Those who trained are compared with held-out patients, of whom the package cannot know anything: whatever finds these as
often as those has found nothing. Everything is by patient; patches are streamed.
"""
