"""What a package gives away of the patients it was made from: attacks on it, one a file, each with its yardstick.

Those who trained are compared with held-out patients, of whom the package cannot know anything: whatever finds these as
often as those has found nothing. Everything is by patient; patches are streamed.
"""
