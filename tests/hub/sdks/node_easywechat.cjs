// node-easywechat: with "stable" it asks /cgi-bin/stable_token, with "classic" /cgi-bin/token, with "work" WeCom.
const { OfficialAccount, Work } = require('node-easywechat');
const { serve, HUB, APPID, APPID: CORPID, KEY, AGENTID, PICTURE, TEXT } = require('./driver.cjs');

const kind = process.argv[2];
const made = {
  classic: () => new OfficialAccount({ app_id: APPID, secret: KEY, http: { baseURL: HUB } }),
  stable: () => new OfficialAccount({ app_id: APPID, secret: KEY, use_stable_access_token: true, http: { baseURL: HUB } }),
  work: () => new Work({ corp_id: CORPID, secret: KEY, http: { baseURL: HUB } }),
};
const app = made[kind]();
const message = { msgtype: 'text', text: { content: TEXT } };
const [path, body] = kind === 'work'
  ? ['/cgi-bin/message/send', { touser: 'witness', agentid: AGENTID, ...message }]
  : ['/cgi-bin/message/custom/send', { touser: 'oWitness', ...message }];

// It returns what WeChat says, also an error.
const good = (answer) => {
  if (answer.errcode) throw new Error(JSON.stringify(answer));
  return answer;
};

serve(
  {
    call: async () => good((await app.getClient().postJson(path, body)).toObject()),
    ticket: () => app.getTicket().getTicket(),
    upload: async () => {
      const client = app.getClient().withFile(PICTURE, 'media');
      return good((await client.post('/cgi-bin/media/upload', { params: { type: 'image' } })).toObject());
    },
  },
  () => app.getAccessToken().getToken(),
);
