"""The selector language: text to data (`parser`), data to tasks (`evaluate`), and what that has to know (`known`)."""
