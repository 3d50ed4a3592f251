"use strict";

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("again").addEventListener("click", () => location.replace("/"));
});

// Keys go to the terminal from the start, without a click into it.
window.addEventListener("load", () => {
  const keyboard = document.querySelector(".xterm-helper-textarea");
  if (keyboard) {
    keyboard.focus();
  }
});
