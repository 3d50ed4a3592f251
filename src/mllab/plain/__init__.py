"""The lab line by line: for screen readers, dumb terminals, pipes and logs of CI. Imports nothing of Textual."""
