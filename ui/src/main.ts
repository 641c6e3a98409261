import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { applyChoices } from './words/words.svelte';

applyChoices();
const target = document.getElementById('app');
if (target) mount(App, { target });
