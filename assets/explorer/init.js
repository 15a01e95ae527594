// Starts the explorer on its page: with the document of this server, and on the operators' page with the token that is typed.
"use strict";

(() => {
  const place = document.getElementById("explorer");
  const signIn = document.getElementById("sign-in");
  const told = document.getElementById("told");
  const url = place.dataset.document;

  // What Swagger UI gives no name to, for those who hear the page.
  const names = { ".body-param__text": "Request body", ".close-modal": "Close" };
  new MutationObserver(() => {
    for (const [selector, name] of Object.entries(names)) {
      for (const found of place.querySelectorAll(selector + ":not([aria-label])")) found.setAttribute("aria-label", name);
    }
  }).observe(place, { childList: true, subtree: true });

  // Nothing of what is typed is kept, nothing is asked of other servers, and no link may change where calls go.
  function start(what, authorised) {
    place.replaceChildren();
    const ui = SwaggerUIBundle({
      ...what,
      domNode: place,
      presets: [SwaggerUIBundle.presets.apis],
      layout: "BaseLayout",
      deepLinking: true,
      defaultModelsExpandDepth: -1,
      displayRequestDuration: true,
      docExpansion: "list",
      persistAuthorization: false,
      queryConfigEnabled: false,
      syntaxHighlight: false,
      validatorUrl: null,
      withCredentials: false,
      onComplete: () => {
        if (authorised) authorised(ui);
        place.dataset.ready = "true";
      },
    });
  }

  if (!signIn) {
    start({ url });
    return;
  }

  const plain = document.getElementById("plain");
  const links = plain.parentElement;
  links.hidden = true;

  function ask(path, token) {
    return fetch(path, { headers: { authorization: "Bearer " + token }, credentials: "omit" });
  }

  // A link carries no token, so these two are fetched with it.
  function follow(link, token, show) {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      const answer = await ask(link.getAttribute("href"), token);
      if (answer.ok) show(await answer.text());
    });
  }

  signIn.addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = document.getElementById("token");
    const token = input.value.trim();
    told.textContent = "";
    try {
      const answer = await ask(url, token);
      const body = await answer.json();
      if (!answer.ok) {
        told.textContent = body.error.major.message.en_US;
        input.focus();
        return;
      }
      input.value = "";
      signIn.hidden = true;
      links.hidden = false;
      follow(plain, token, (text) => {
        const page = new DOMParser().parseFromString(text, "text/html");
        document.title = page.title;
        // The icon stays: without it a browser asks for one.
        const styles = (from) => from.querySelectorAll("link[rel=stylesheet]");
        styles(document).forEach((style) => style.remove());
        styles(page).forEach((style) => document.head.append(document.adoptNode(style)));
        document.body.replaceWith(document.adoptNode(page.body));
        scrollTo(0, 0);
      });
      follow(document.getElementById("document"), token, (text) => {
        const file = document.createElement("a");
        file.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
        file.download = "openapi-operator.json";
        file.click();
        URL.revokeObjectURL(file.href);
      });
      start({ spec: body }, (ui) => ui.preauthorizeApiKey("operatorToken", token));
    } catch (error) {
      told.textContent = "The server cannot be reached: " + error.message;
    }
  });
})();
